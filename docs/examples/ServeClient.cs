// Submit a case to `mediseg serve`, wait, save its report. .NET 6 or newer, .NET Framework 4.7.2 or newer, Mono 6.
//   ServeClient DIR RECIPE study.zip report.html [PORT]
// DIR is the service's --out folder, in which its token lies. Research use only; not a medical device.
using System;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading.Tasks;

[DataContract]
public class Case
{
    [DataMember(Name = "id")] public string Id = "";
    [DataMember(Name = "state")] public string State = "";
    [DataMember(Name = "reason")] public string Reason = "";
    [DataMember(Name = "outputs")] public string[] Outputs = new string[0];
    [DataMember(Name = "error")] public string Error = "";
}

public static class ServeClient
{
    public static int Main(string[] arguments)
    {
        return Run(arguments).GetAwaiter().GetResult();
    }

    private static async Task<int> Run(string[] arguments)
    {
        string folder = arguments[0], recipe = arguments[1], study = arguments[2], report = arguments[3];
        string port = arguments.Length > 4 ? arguments[4] : "8321";
        using (var http = new HttpClient { BaseAddress = new Uri("http://127.0.0.1:" + port) })
        {
            string token = File.ReadAllText(Path.Combine(folder, "token")).Trim();
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
            Case made;
            using (var body = new StreamContent(File.OpenRead(study)))
            {
                string suffix = study.EndsWith(".nii.gz") ? ".nii.gz" : Path.GetExtension(study);
                made = await Read(await http.PostAsync("/v1/cases?recipe=" + recipe + "&suffix=" + suffix, body));
            }
            while (made.State == "waiting" || made.State == "running")
            {
                await Task.Delay(500);
                made = await Read(await http.GetAsync("/v1/cases/" + made.Id));
            }
            Console.WriteLine(made.Id + " " + made.State + " " + made.Reason);
            if (Array.IndexOf(made.Outputs, "report.html") >= 0)
                File.WriteAllBytes(report, await http.GetByteArrayAsync("/v1/cases/" + made.Id + "/files/report.html"));
            return made.State == "done" ? 0 : 1;
        }
    }

    private static async Task<Case> Read(HttpResponseMessage answer)
    {
        using (Stream text = await answer.Content.ReadAsStreamAsync())
        {
            var found = (Case)new DataContractJsonSerializer(typeof(Case)).ReadObject(text);
            if (!answer.IsSuccessStatusCode) throw new Exception((int)answer.StatusCode + " " + found.Error);
            return found;
        }
    }
}
